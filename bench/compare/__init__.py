"""``python -m bench compare``: whether the second of two results is slower beyond the noise."""
