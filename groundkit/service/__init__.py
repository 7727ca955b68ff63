"""Pictures and phrases over HTTP: ``groundkit serve``."""
