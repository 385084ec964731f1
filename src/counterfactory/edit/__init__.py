"""Edit: change weights: erase, unlearn, decouple; every edit can be reverted."""
