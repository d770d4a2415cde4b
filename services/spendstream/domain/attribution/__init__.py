"""Attribution's rules, pure: which event counts, who owns it, and how it is summed."""
