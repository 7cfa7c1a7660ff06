//! Post-training quantization of neural networks for microcontrollers.
