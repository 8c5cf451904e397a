"""Types of single fields of messages: frame rates and binary data."""
