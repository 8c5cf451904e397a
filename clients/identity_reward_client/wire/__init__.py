"""Wire format shared by clients and server beside the messages: headers, content ids, error bodies, raw bodies."""
