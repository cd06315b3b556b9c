"""How the services speak with Postgres: connections that say what may be done, SQL in files."""
