"""How far two samples are apart; imports nothing of ours."""
