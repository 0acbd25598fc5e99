"""A process that looks at the databases and the broker now and then and tells what it saw as metrics: it works, and is needed most,
while the services do not, and costs their hot path nothing."""
