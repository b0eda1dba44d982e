"""How rows are generated: a file a method, named by `config.method.name`."""
