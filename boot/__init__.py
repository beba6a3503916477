"""`make boot`: the templates of the nodes on real machines, a pair under QEMU. A tool for developers, no product."""
