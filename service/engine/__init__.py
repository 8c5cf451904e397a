"""The life of a request: validate, resolve media, price, admit, schedule, respond."""
