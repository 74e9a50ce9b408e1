package storetest

import "github.com/sallyport-net/sallyport/internal/sallyport"

// PutInstance puts i.
func (n *Naive) PutInstance(i *sallyport.Instance) { n.instances[i.ID] = i }

// RemoveInstance removes the managed resource.
func (n *Naive) RemoveInstance(id sallyport.InstanceID) { delete(n.instances, id) }

// Instance returns the managed resource.
func (n *Naive) Instance(id sallyport.InstanceID) (*sallyport.Instance, bool) {
	i, ok := n.instances[id]
	return i, ok
}

// Instances returns one page.
func (n *Naive) Instances(q sallyport.InstanceQuery) ([]*sallyport.Instance, int) {
	var all []*sallyport.Instance
	for _, i := range n.instances {
		if i.ProjectID == q.ProjectID && (q.Kind == "" || i.Kind == q.Kind) {
			all = append(all, i)
		}
	}
	return page(all, q.Page, func(i *sallyport.Instance) key { return key{i.CreatedAt, i.UpdatedAt, string(i.ID)} })
}

// EachInstance calls yield for every managed resource.
func (n *Naive) EachInstance(yield func(*sallyport.Instance) bool) {
	for _, i := range n.instances {
		if !yield(i) {
			return
		}
	}
}
