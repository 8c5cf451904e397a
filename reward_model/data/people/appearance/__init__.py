"""People and their clothes: parameters, random sampling, descriptions."""
