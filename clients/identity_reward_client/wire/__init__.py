"""Wire format beside the messages, for clients and server: headers, content ids, error bodies, raw bodies, jobs."""
