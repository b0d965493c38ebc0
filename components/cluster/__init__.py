"""Kubernetes on nodes, whoever made them: kubeadm's steps, pod network, volumes. Nothing of AWS."""
