"""What an exported version takes and gives."""
