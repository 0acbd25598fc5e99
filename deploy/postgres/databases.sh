#!/usr/bin/env bash
# One database and one role per service, once, when the data folder is new. A role gets into its own database and into no other.
set -euo pipefail
for name in orders inventory payment gateway customer notification recommendation console; do
  psql -v ON_ERROR_STOP=1 -v name="$name" -v password="$DATABASE_PASSWORD" --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
