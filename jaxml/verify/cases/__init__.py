"""Tables of claims, one module per family: ``CASES``, and ``SPECIAL`` for awkward inputs."""
