package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// postgres is a PostgreSQL server that, like an instance of Cloud SQL, takes only connections with TLS and a password. It has the role that owns all
// databases there, and users are members of it.
type postgres struct {
	dir, bin string
	server   *exec.Cmd
	log      *lines
}

// owner is Cloud SQL's role of the same name: https://cloud.google.com/sql/docs/postgres/users#default-users
const owner = "cloudsqlsuperuser"

// newPostgres makes the files of a server under dir and starts it.
func newPostgres(ctx context.Context, dir string) (*postgres, error) {
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(programs) == 0 {
		return nil, fmt.Errorf("PostgreSQL's server programs are not in /usr/lib/postgresql: install the package postgresql (%w)", err)
	}
	slices.Sort(programs)
	p := &postgres{dir: dir, bin: filepath.Dir(programs[len(programs)-1]), log: &lines{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	access := "local all postgres trust\nhostssl all all 0.0.0.0/0 scram-sha-256\n"
	data := p.data()
	_, err = command(ctx, nil, "sh", "-ec", fmt.Sprintf(`chown postgres %[1]s
runuser -u postgres -- %[2]s/initdb --pgdata=%[3]s --username=postgres --auth=trust --no-sync
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=database -keyout %[3]s/server.key -out %[3]s/server.crt
printf %[4]s > %[3]s/pg_hba.conf
chown postgres %[3]s/server.key %[3]s/server.crt %[3]s/pg_hba.conf`, quote(dir), quote(p.bin), quote(data), quote(strings.ReplaceAll(access, "\n", `\n`))))
	if err != nil {
		return nil, err
	}
	return p, p.start(ctx)
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// start starts the server and returns when it answers.
func (p *postgres) start(ctx context.Context) error {
	// The program ends with this process.
	p.server = exec.Command("setpriv", "--pdeathsig=KILL", "--reuid=postgres", "--regid=postgres", "--init-groups",
		filepath.Join(p.bin, "postgres"), "-D", p.data(),
		"-c", "ssl=on", "-c", "listen_addresses=*", "-c", "port=5432", "-c", "unix_socket_directories="+p.dir, "-c", "fsync=off", "-c", "max_connections=100")
	p.server.Stdout, p.server.Stderr = p.log, p.log
	if err := p.server.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	for range 100 {
		if _, err := command(ctx, nil, filepath.Join(p.bin, "pg_isready"), "--host="+p.dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("PostgreSQL does not answer:\n%s", p.log.tail())
}

// stop ends the server and its connections. Its data stays.
func (p *postgres) stop() error {
	if p.server == nil {
		return nil
	}
	err := p.server.Process.Signal(os.Interrupt) // fast shutdown
	if waitErr := p.server.Wait(); waitErr != nil {
		err = errors.Join(err, waitErr)
	}
	p.server = nil
	return err
}

// query runs SQL as the superuser, which Cloud SQL gives to nobody, and returns rows of values that a bar separates.
func (p *postgres) query(ctx context.Context, database, sql string) (string, error) {
	output, err := command(ctx, strings.NewReader(sql), filepath.Join(p.bin, "psql"), "--host="+p.dir, "--username=postgres", "--dbname="+database,
		"--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-")
	return strings.TrimSpace(output), err
}

// empty makes a database without a table, and a user of it, as the Cloud SQL API makes them. What was there before is gone.
func (p *postgres) empty(ctx context.Context, database, user, password string) error {
	_, err := p.query(ctx, "postgres", fmt.Sprintf(`
DROP DATABASE IF EXISTS %[1]q WITH (FORCE);
DROP ROLE IF EXISTS %[2]q;
DROP ROLE IF EXISTS %[4]s;
CREATE ROLE %[4]s CREATEDB CREATEROLE NOLOGIN;
CREATE ROLE %[2]q LOGIN CREATEDB CREATEROLE PASSWORD %[3]s IN ROLE %[4]s;
CREATE DATABASE %[1]q OWNER %[4]s;`, database, user, quoteSQL(password), owner))
	return err
}

func quoteSQL(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
