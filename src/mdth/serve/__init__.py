"""A page and an API over HTTP: jobs in a queue that outlives the server, done by processes."""
