"""People at work: the queue, drafts and decisions, agreement, and Label Studio both ways."""
