"""The same order elsewhere: what this system is compared with, on the same broker and database."""
