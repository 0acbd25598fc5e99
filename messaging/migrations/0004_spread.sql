-- Which of the service's databases this is, counted from 0, and how many there are: partition p is in number p mod n. A database that
-- was there before is the only one.
CREATE TABLE spread (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    number integer NOT NULL,
    of     integer NOT NULL
);
INSERT INTO spread (number, of) SELECT 0, 1 WHERE EXISTS (SELECT 1 FROM partition_ownership);
