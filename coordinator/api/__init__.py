"""What the coordinator answers over HTTP and websockets."""
