"""Why an order does not move: facts are asked for (`asking`, `broker`), and a pure diagnosis (`diagnose`) makes a chain of causes
of them, with the verb that helps. No question is an error: what could not be asked is a fact as well."""
