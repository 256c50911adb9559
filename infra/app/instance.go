package app

// InstanceScratchGiB is the disk of the node that an instance is sure of beside its volume, in GiB. One that fills more is evicted when the node has no more.
const InstanceScratchGiB = 4
