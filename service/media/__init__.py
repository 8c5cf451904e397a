"""Images and videos on the wire to decoded media: URL and path rules, fetching, the reference store."""
