const LEAST = -3.4028234e38; // nearness that a finite one exceeds
