"""A store of your own: DynamoDB through aiobotocore. See docs/custom-backends.md."""
