"""What differs between Google, Amazon, Microsoft and a Kubernetes that is there: commands, and what they mean."""
