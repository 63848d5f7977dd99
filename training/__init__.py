"""What made `demo_models/`: scene renderer, trainers, judges. Only `tandem train` imports it."""
