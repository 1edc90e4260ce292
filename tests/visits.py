"""What tests of launches share: a kernel that counts its visits, and enough work for several threads."""

from numbagrad.kernels._cpu import kernel

BIG = 10**9  # work that is always worth splitting


@kernel
def count_visits(lo, hi, visits):
    for i in range(lo, hi):
        visits[i] += 1
