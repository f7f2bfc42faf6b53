"""What every room needs: errors, command lines, files written whole, devices, digests, random streams."""
