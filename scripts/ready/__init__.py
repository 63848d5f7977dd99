"""Makes a machine ready for the demo and the tests with nothing but Python and pip."""
