"""The demo: the same arrivals under RTS and under round-robin on the reference cluster, live and as a picture."""
