"""Built-in data sets: digits, photos, MNIST, CIFAR-10 and -100, and CIFAR with the labels of annotators."""
