package sqlstore_test

const childEnv = "SQLSTORE_CHILD"

func child(string) int { return 0 }
