"""What Pulumi's engine is told beside resources: hooks before updates, and limits."""
