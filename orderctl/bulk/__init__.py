"""One command to many orders: counted first, sent at a rate, with a receipt per order, and able to go on where it stopped."""
