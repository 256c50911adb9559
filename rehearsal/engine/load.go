package engine

import (
	"context"
	"errors"
)

// Load is later.
func (e *Engine) Load(context.Context, []byte) error { return errors.New("later") }
