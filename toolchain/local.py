"""Where the local cloud is found: its own addresses, which no proxy leads to."""

API_ADDRESS = "127.0.0.1"
#: The bridge is the VPC's router and "the internet": public addresses are of its network.
HOST_ADDRESS = "10.43.0.1"
PUBLIC_NETWORK = "10.43.0.0/24"
