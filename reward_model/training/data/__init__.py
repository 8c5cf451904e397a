"""Preference-pair files and the media that they name. Of the other folders of training it imports only `configs`."""
