"""What is trained, and how weights are named, stored and found."""
