"""SNN-delays on speech."""
