"""Preference-pair files and the media that they name; of the other folders of training it imports only `configs`."""
