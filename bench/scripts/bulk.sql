SELECT repeat('x', 1000) FROM generate_series(1, 10000);
