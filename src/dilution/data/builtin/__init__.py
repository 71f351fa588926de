"""Built-in data sets: digits, photos, MNIST, Fashion-MNIST, CIFAR, and CIFAR with human labels."""
