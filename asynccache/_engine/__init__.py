"""Time and concurrency. Private: anything here may change in any release."""
