"""What a certificate claims, and how each claim is checked."""
