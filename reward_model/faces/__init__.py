"""Scorers of faces, with the face detection, recognition and tracking behind them; they rate videos, not identities."""
