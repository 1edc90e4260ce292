"""The one door to numba.cuda and the CUDA driver.

Nothing is imported here: `import numbagrad` must work where there is neither, and a process that is to fork must not have started the driver.
Each module is imported when a tensor is first put on a GPU.

    array      what a tensor on a GPU holds; views; empty(shape, dtype, device)
    launch     how kernels are declared, and the one function that every launch passes; build: how they are compiled; intrinsics, for kernels
    tiles      registers as tuples, and products of tiles in shared memory; tensor_cores: mma, ldmatrix, cp.async
    memory     the caching allocator, one for each device
    transfer   copies between the host and devices; pinned: the host's memory for copies that nobody waits for
    dlpack     arrays from and for other libraries
    devices, streams, driver    the driver's concepts, by its names
    simulator  the same doors over host memory, under NUMBA_ENABLE_CUDASIM=1
"""
