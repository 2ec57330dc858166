"""What every experiment is made of: checked configs, training that resumes, results."""
