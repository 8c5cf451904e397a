"""Identity and quality corruptions of clip plans."""
