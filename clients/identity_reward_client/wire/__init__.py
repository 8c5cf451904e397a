"""Wire format other than messages, for clients and server: headers, content ids, error bodies, raw bodies, jobs."""
